"""What pilotlight knows of each kind of server; one engine, one file. Pure: the worker does the doing."""
