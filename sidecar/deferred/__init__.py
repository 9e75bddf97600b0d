"""The queue of deferred calls: its file (store), its face (queue), and who works it off (worker)."""
