"""The service ``slack_gateway``: what people press and type in Slack, checked, done once, answered and recorded."""
