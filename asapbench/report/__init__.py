"""Reports: results -> statistics -> Table -> terminal, Markdown, LaTeX, CSV or JSON. It only reads; no torch here."""
