"""What a team's runs stand on, as processes of one machine: PostgreSQL, Redis, an S3 store, MLflow, Prefect, a worker.

All listen on this machine alone, with ports and secrets of the project's own. Containers and a cluster run the same
services by infra/compose.yaml and infra/kubernetes.
"""
