"""PySpark with ``mapInPandas``: Parquet through Spark's own reader, other files by path."""

import os
import sys

import pyarrow as pa
from pyspark.sql import SparkSession
from tasks import KINDS, chunks

PEERS = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    kind, folder, output, model, workers = sys.argv[1:]
    spark = (
        SparkSession.builder.master(f"local[{workers}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.executorEnv.PYTHONPATH", PEERS)
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "125000")
        # about a file of the tabular workload: even work, and no more tasks than files
        .config("spark.sql.files.maxPartitionBytes", str(12 << 20))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    def score_frames(frames):
        task = KINDS[kind](model)
        for frame in frames:
            yield task.score_frame(frame)

    def score_files(frames):
        task = KINDS[kind](model)
        for frame in frames:
            table = pa.concat_tables([task.score(list(paths)) for paths in frame["paths"]])
            yield table.combine_chunks().to_pandas()  # PySpark takes no text in several chunks

    if kind == "tabular":
        scored = spark.read.parquet(folder).mapInPandas(score_frames, KINDS[kind].schema)
    else:
        work = [(paths,) for paths in chunks(folder, KINDS[kind].files_at_once)]
        slices = min(len(work), 32)
        rows = spark.createDataFrame(spark.sparkContext.parallelize(work, slices), "paths array<string>")
        scored = rows.mapInPandas(score_files, KINDS[kind].schema)
    scored.write.mode("append").parquet(output)
    spark.stop()
