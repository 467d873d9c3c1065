"""What a worker tells about itself over HTTP: metrics for Prometheus and health for whoever restarts it."""
