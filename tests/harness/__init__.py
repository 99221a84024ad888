"""What the tests run things with: literate pages, a real shell, a real trace processor."""
