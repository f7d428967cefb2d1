"""One order and one naming of nodes for a graph that ORT writes in another one each time."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

import onnx


def in_order(graph: onnx.GraphProto) -> None:
    """Sort the nodes, subgraphs' too, by what they need and then by their outputs' names; name them by their place.

    ORT orders parallel branches, and numbers the nodes that it adds, as pointers happen to compare. That is no
    difference between two artifacts.
    """
    nodes = sorted(graph.node, key=lambda node: list(node.output))
    producers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for place, node in enumerate(nodes):
        # A node's subgraphs read what it does not make itself.
        needed = {producers[name] for name in _reads(node) if name in producers}
        sorter.add(place, *sorted(needed - {place}))
    ordered = [onnx.NodeProto.FromString(nodes[place].SerializeToString()) for place in sorter.static_order()]
    del graph.node[:]
    graph.node.extend(ordered)
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        for inner in subgraphs(node):
            in_order(inner)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for graph in subgraphs(node):
        yield from (output.name for output in graph.output)
        for inner in graph.node:
            yield from _reads(inner)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among the attributes of an If, a Loop or a Scan."""
    for attribute in node.attribute:
        yield from (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs)
