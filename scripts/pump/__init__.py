"""The parts of the MetaTrader 5 pump; scripts/build_pump.py joins them into scripts/mt5_pump.py."""
