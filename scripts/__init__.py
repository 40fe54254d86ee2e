"""Programs around GFIL: start scripts, the MetaTrader 5 pump and files for a deployment."""
