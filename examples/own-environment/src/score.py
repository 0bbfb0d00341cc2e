"""Scores one customer review per file: how it sounds, and what that makes the customer."""

import glob
import json
import os
import platform


def init():
    # the package is in this deployment's environment only, so this import works nowhere else
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    global analyzer, limits
    analyzer = SentimentIntensityAnalyzer()
    (found,) = glob.glob(os.path.join(os.environ["AZUREML_MODEL_DIR"], "*", "limits.json"))
    with open(found) as file:
        limits = json.load(file)


def run(mini_batch):
    return [score(path) for path in mini_batch]


def score(path):
    with open(path, encoding="utf-8") as file:
        sound = analyzer.polarity_scores(file.read())["compound"]
    mood = "content" if sound >= limits["content"] else "angry" if sound <= limits["angry"] else "indifferent"
    return {"file": os.path.basename(path), "mood": mood, "sound": sound, "python": platform.python_version()}
