"""Print the texts of Python files that a person reads, as JSON in the form of words.ts.

Standard input: a JSON list of paths. The names of the error classes follow on the command line.
"""

import ast
import io
import json
import sys
import tokenize

VALUE = "…"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def words_of(path, error_types):
    """Return `{texts, functionDocs, errors}` of a file."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    tree = ast.parse(source)
    docs, strings, function_docs, errors = [], [], [], []
    docstrings = set()
    for node in ast.walk(tree):
        if not isinstance(node, DOCUMENTED) or ast.get_docstring(node) is None:
            continue
        constant = node.body[0].value
        docstrings.add(constant)
        doc = {"line": constant.lineno, "text": ast.get_docstring(node)}
        docs.append({"kind": "doc", **doc})
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function_docs.append(doc)
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = None if node in docstrings or node in inner else prose_of(node)
        if text is not None and " " in text.strip():
            strings.append({"kind": "string", "line": node.lineno, "text": text})
        if isinstance(node, ast.Call) and name_of(node.func) in error_types:
            errors.append(constructed(node))
    return {"texts": docs + comments_of(source) + strings, "functionDocs": function_docs, "errors": errors}


def prose_of(node):
    """Return the text of a string; None for another node."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)


def name_of(function):
    """Return the name that a call uses."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def constructed(call):
    """Return the type, message and hint of a constructed error."""
    given = call.args + [keyword.value for keyword in call.keywords]
    has_hint = len(given) > 1 or any(isinstance(one, ast.Starred) for one in given)
    texts = [text for one in given for text in strings_in(one)]
    return {"line": call.lineno, "type": name_of(call.func), "hasHint": has_hint, "texts": texts}


def strings_in(node):
    """Return the strings of an expression."""
    own = prose_of(node)
    if own is not None:
        return [own]
    return [text for child in ast.iter_child_nodes(node) for text in strings_in(child)]


def comments_of(source):
    """Return the comments of a file; join those that continue on the next line."""
    found = []
    last_line = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        text = token.string.lstrip("#").strip()
        own_line = token.line[:column].strip() == ""
        if own_line and last_line == line - 1:
            found[-1]["text"] += f" {text}"
        elif not text.startswith(("noqa", "type:", "!")):
            found.append({"kind": "comment", "line": line, "text": text})
        last_line = line if own_line else None
    return found


if __name__ == "__main__":
    types = set(sys.argv[1:])
    print(json.dumps({path: words_of(path, types) for path in json.load(sys.stdin)}))
