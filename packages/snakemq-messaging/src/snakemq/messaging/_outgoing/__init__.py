"""Messages that go: queued, limited, sent, reported."""
