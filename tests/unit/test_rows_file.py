"""What the name of an output and ``output_format`` say together."""

import pytest
from pydantic import ValidationError

from batch_endpoints.specs import ModelDeploymentSettings, rows_file


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("p.csv", None, ("p.csv", "csv")),
        ("p.txt", None, ("p.txt", "csv")),
        ("p", None, ("p", "csv")),
        ("P.Parquet", None, ("P.Parquet", "parquet")),
        ("p.feather", None, ("p.feather", "arrow")),
        ("p.csv", "azureml", ("p.csv", "azureml")),
        ("predictions.csv", "azureml", ("predictions.csv", "azureml")),
        ("predictions.csv", None, ("predictions.csv", "csv")),
        (None, None, ("predictions.csv", "csv")),
        (None, "azureml", ("predictions.csv", "azureml")),
        (None, "jsonl", ("predictions.jsonl", "jsonl")),
        ("predictions.csv", "csv", ("predictions.csv", "csv")),
        ("p.dat", "parquet", ("p.dat", "parquet")),
        ("p", "arrow", ("p", "arrow")),
        ("p/", None, ("p/", "parquet")),
        ("p.csv/", "jsonl", ("p.csv/", "jsonl")),
        ("p.csv.gz", None, ("p.csv.gz", "csv", "gzip")),
        ("p.jsonl.ZST", None, ("p.jsonl.ZST", "jsonl", "zstd")),
        ("p.bz2", "azureml", ("p.bz2", "azureml", "bz2")),
    ],
)
def test_the_name_says_the_format_unless_somebody_says_more(name, wanted, expected):
    assert tuple(rows_file(name, wanted)) == (*expected, "")[:3]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("p.xlsx", None, r"'\.xlsx' is no format of an output; there are \.csv .jsonl .parquet .arrow"),
        ("p.csv", "parquet", "output_format is 'parquet', and the name 'p.csv' says csv"),
        ("predictions.csv", "parquet", "output_format is 'parquet', and the name 'predictions.csv' says csv"),
        ("p.parquet", "azureml", "the name 'p.parquet' says parquet"),
        ("p.csv.xz", None, r"'\.xz' is no format of an output; .* also with \.gz \.bz2 \.zst behind it"),
        ("p.parquet.gz", None, "is compressed text by its name, and its format is parquet"),
    ],
)
def test_what_nobody_writes_is_refused(name, wanted, message):
    with pytest.raises(ValidationError, match=message):
        ModelDeploymentSettings(output_file_name=name, output_format=wanted)


def test_a_format_may_be_written_in_capitals():
    assert ModelDeploymentSettings(output_format="AzureML").output_format == "azureml"


def test_azures_layout_has_no_other_columns():
    with pytest.raises(ValidationError, match="output_columns has no meaning with output_format azureml"):
        ModelDeploymentSettings(output_format="azureml", output_columns=["id"])
