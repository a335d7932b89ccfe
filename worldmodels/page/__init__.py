"""What the web page gets from the project: V, M and C as one blob. Read `weights`."""
