"""What the tests share: private servers, a database each, the daemon."""
