"""A LightGBM model's text as trees, and as C that scores rows the same way. Pure.

The C adds up leaf values tree by tree in the model's order and compares with the same
doubles, so its raw scores are those of LightGBM to the last bit. What a node does is
LightGBM's `Tree::NumericalDecision` and `Tree::CategoricalDecision` (include/LightGBM/
tree.h); what is not supported raises Unsupported, and LightGBM itself serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

# Bits of a node's decision type.
_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_MISSING_SHIFT = 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2

# LightGBM's kZeroThreshold, a float32 constant: what is nearer to zero is zero.
ZERO = "1.0000000180025095e-35"

# Doubles of a block of rows: 64 KiB on the stack at the most, more only for one wider row.
_BLOCK_DOUBLES = 8192

# Recursion depth of the writer, and nesting that a C compiler takes without complaint.
_MAX_DEPTH = 200


class Unsupported(Exception):
    """The model has something that is not written as C; the message says what."""


class Tree(msgspec.Struct, frozen=True):
    """One tree. Children below zero are leaves: child c is leaf -c - 1."""

    features: tuple[int, ...]
    thresholds: tuple[str, ...]
    decisions: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaves: tuple[str, ...]
    category_bounds: tuple[int, ...]
    category_words: tuple[int, ...]


class Forest(msgspec.Struct, frozen=True):
    """All trees of a model, with what turns their sums into scores.

    Tree i adds to output i % `outputs`. `objective`: its name; `parameters`: the rest of
    LightGBM's objective line, `key:value`.
    """

    trees: tuple[Tree, ...]
    features: int
    outputs: int
    objective: str
    parameters: dict[str, str]


def parse(model_text: str) -> Forest:
    """Read a model as LightGBM writes it (version v4). Raises Unsupported."""
    head, *sections = model_text.split("\n\nTree=")
    header = _values(head)
    if header.get("version") != "v4":
        raise Unsupported("the model's text is of another version than v4")
    if "average_output" in head.splitlines():
        raise Unsupported("the trees are averaged (boosting type rf)")
    name, *parameters = header.get("objective", "none").split(" ")
    trees = []
    for section in sections:
        values = _values(section.partition("\n\nend of trees")[0])
        if values.get("is_linear", "0") != "0":
            raise Unsupported("the trees have linear leaves")
        trees.append(
            Tree(
                features=_integers(values, "split_feature"),
                thresholds=tuple(values.get("threshold", "").split()),
                decisions=_integers(values, "decision_type"),
                left=_integers(values, "left_child"),
                right=_integers(values, "right_child"),
                leaves=tuple(values["leaf_value"].split()),
                category_bounds=_integers(values, "cat_boundaries"),
                category_words=_integers(values, "cat_threshold"),
            )
        )
    return Forest(
        trees=tuple(trees),
        features=int(header["max_feature_idx"]) + 1,
        outputs=int(header["num_tree_per_iteration"]),
        objective=name,
        parameters=dict(part.split(":", 1) for part in parameters if ":" in part),
    )


def add_up_gains(model_text: str) -> dict[str, float]:
    """What the splits on each feature took off the training loss, by feature name.

    The same numbers as LightGBM's `feature_importance("gain")`, for any version of the text.
    """
    head, *sections = model_text.split("\n\nTree=")
    names = _values(head).get("feature_names", "").split()
    gains = dict.fromkeys(names, 0.0)
    for section in sections:
        values = _values(section.partition("\n\nend of trees")[0])
        split_gains = map(float, values.get("split_gain", "").split())
        for feature, gain in zip(_integers(values, "split_feature"), split_gains, strict=True):
            gains[names[feature]] += gain
    return gains


def _values(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line)


def _integers(values: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(map(int, values.get(name, "").split()))


def write_c(forest: Forest) -> str:
    """Write C99 with one exported function.

    `void score(const double *rows, long count, double *out)`: `rows` is row-major,
    count x features; `out` gets count x outputs raw scores.
    """
    return "\n".join(_lines(forest)) + "\n"


def _lines(forest: Forest) -> Iterator[str]:
    yield f"#define ZERO {ZERO}"
    for number, tree in enumerate(forest.trees):
        yield from _tables(number, tree)
        # Kept apart: one function of all trees takes compilers minutes.
        yield f"static double __attribute__((noinline)) tree{number}(const double *x) {{"
        if tree.features:
            yield from _node(number, tree, 0, 1)
        else:
            yield f"  return {_double(tree.leaves[0])};"
        yield "}"
    width, outputs = forest.features, forest.outputs
    yield "static const struct { double (*score)(const double *); } TREES[] = {"
    yield from (f"  {{tree{number}}}," for number in range(len(forest.trees)))
    yield "};"
    # A block of rows goes through one tree after another: the tree's code and the rows
    # stay in the nearest cache, and each row's sum grows in the model's order of trees.
    # What is as near to zero as ZERO enters as zero, as in LightGBM's reading of a matrix.
    block = max(1, min(64, _BLOCK_DOUBLES // width))
    yield f"""
void score(const double *rows, long count, double *out) {{
  double x[{block * width}];
  for (long i = 0; i < count * {outputs}; i++) out[i] = 0.0;
  for (long start = 0; start < count; start += {block}) {{
    long size = count - start < {block} ? count - start : {block};
    for (long i = 0; i < size * {width}; i++) {{
      double value = rows[start * {width} + i];
      x[i] = value >= -ZERO && value <= ZERO ? 0.0 : value;
    }}
    for (long t = 0; t < {len(forest.trees)}; t++)
      for (long i = 0; i < size; i++)
        out[(start + i) * {outputs} + t % {outputs}] += TREES[t].score(x + i * {width});
  }}
}}"""


def _tables(number: int, tree: Tree) -> Iterator[str]:
    for category in range(len(tree.category_bounds) - 1):
        words = _words(tree, category)
        listed = ", ".join(f"{word}u" for word in words)
        yield f"static const unsigned int set{number}_{category}[] = {{{listed}}};"


def _words(tree: Tree, category: int) -> Sequence[int]:
    return tree.category_words[tree.category_bounds[category] : tree.category_bounds[category + 1]]


def _node(number: int, tree: Tree, node: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise Unsupported(f"a tree is deeper than {_MAX_DEPTH} levels")
    indent = "  " * depth
    yield f"{indent}if ({_goes_left(number, tree, node)}) {{"
    yield from _child(number, tree, tree.left[node], depth + 1)
    yield f"{indent}}} else {{"
    yield from _child(number, tree, tree.right[node], depth + 1)
    yield f"{indent}}}"


def _child(number: int, tree: Tree, child: int, depth: int) -> Iterator[str]:
    if child < 0:
        yield f"{'  ' * depth}return {_double(tree.leaves[-child - 1])};"
    else:
        yield from _node(number, tree, child, depth)


def _goes_left(number: int, tree: Tree, node: int) -> str:
    value, decision = f"x[{tree.features[node]}]", tree.decisions[node]
    if decision & _CATEGORICAL:
        # LightGBM cuts the value to an integer; below zero and beyond the set is right.
        category = int(float(tree.thresholds[node]))
        bits = 32 * len(_words(tree, category))
        member = f"set{number}_{category}[(int){value} >> 5] >> ((int){value} & 31) & 1"
        return f"{value} > -1.0 && {value} < {bits}.0 && ({member})"
    threshold = _double(tree.thresholds[node])
    missing = decision >> _MISSING_SHIFT & 3
    is_default_left = bool(decision & _DEFAULT_LEFT)
    if missing == _MISSING_ZERO:
        default = f"!({value} < -ZERO || {value} > ZERO)"  # a NaN counts as zero
        below = f"{value} <= {threshold}"
        return f"{default} || {below}" if is_default_left else f"!({default}) && {below}"
    # A NaN fails every comparison: which one is asked decides where it goes. Without a
    # direction of its own (missing type none) it counts as zero.
    goes_left = is_default_left if missing == _MISSING_NAN else float(tree.thresholds[node]) >= 0.0
    return f"!({value} > {threshold})" if goes_left else f"{value} <= {threshold}"


def _double(text: str) -> str:
    return float(text).hex()
