"""Jobs: pods that run until enough of them ended well. Each ended pod is counted exactly once, whatever crashes."""
