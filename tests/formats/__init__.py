"""The formats of sessions: how cookies and records look, so that another program can share them."""
