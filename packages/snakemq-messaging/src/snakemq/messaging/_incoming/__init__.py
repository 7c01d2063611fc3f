"""Messages that come: offered to the application, acknowledged, recognised when they come again."""
