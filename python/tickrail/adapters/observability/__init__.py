"""What operators see: log lines, metrics, spans. Nothing here is asked by the loop."""
