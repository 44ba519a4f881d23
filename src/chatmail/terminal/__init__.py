"""What both programs do at a terminal, or without one: show lines, read lines, keep what was typed."""
