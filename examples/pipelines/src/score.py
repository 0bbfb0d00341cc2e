"""Which wines are strong: one row for each wine."""

import argparse
from pathlib import Path

import pandas as pd


def init():
    global threshold
    parser = argparse.ArgumentParser()
    parser.add_argument("--threshold", type=float)
    threshold = parser.parse_known_args()[0].threshold


def run(mini_batch):
    frames = []
    for path in mini_batch:
        wines = pd.read_csv(path)
        frames.append(wines.assign(file=Path(path).name, strong=wines["alcohol"] >= threshold))
    return pd.concat(frames)
