"""Descriptions: an object and what is around it as lines with tabs, laid out by `printing.columns.aligned`.

Each module describes one kind: `lines(obj, around) -> list[str]`. What a description needs from the server besides the
object is fetched before (`gather`), so that these functions are pure.
"""
