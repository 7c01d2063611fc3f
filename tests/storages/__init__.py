"""The whole stack while its storage breaks: damage, full disks, servers that go away."""
