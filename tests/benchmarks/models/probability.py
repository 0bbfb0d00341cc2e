"""The model of the tabular workload, logged from code: ids and 20 features -> ids and probabilities."""

import mlflow
import pandas as pd


class Probability(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        import joblib

        self._classifier = joblib.load(context.artifacts["classifier"])

    def predict(self, context, model_input, params=None):
        features = model_input.drop(columns="id").to_numpy()
        return pd.DataFrame({"id": model_input["id"], "probability": self._classifier.predict_proba(features)[:, 1]})


mlflow.models.set_model(Probability())
