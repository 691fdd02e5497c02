"""The prediction log as Parquet files by day."""
