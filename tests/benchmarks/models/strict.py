"""The model of the poisoned workload: twice ``x``; one negative row, and the whole call fails."""

import mlflow


class Strict(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["x"] < 0).any():
            raise ValueError("x is negative")
        return model_input["x"].to_numpy() * 2


mlflow.models.set_model(Strict())
