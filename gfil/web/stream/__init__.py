"""The live stream: hub, subscriptions and client queues."""
