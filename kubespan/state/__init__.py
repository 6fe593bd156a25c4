"""What outlives the process: files in the state directory. Decides nothing about their meaning."""
