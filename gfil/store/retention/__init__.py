"""Retention rules, and the days that prune skips: backdated and recently received ones."""
