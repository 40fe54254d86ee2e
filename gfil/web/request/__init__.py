"""What every route shares: scope, parameters, bodies, errors, logs and metrics."""
