"""The servers of all kinds of object stores; each is the name of a fixture, too, which has it running and empty."""

import azure_server
import gcs_server
import s3_server

STORES = {"s3": s3_server, "gcs": gcs_server, "azure": azure_server}
