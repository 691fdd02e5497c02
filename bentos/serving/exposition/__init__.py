"""What operators see of one worker: its metrics, and the files that workers share them in."""
