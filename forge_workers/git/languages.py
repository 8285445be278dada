"""The language of a file by its name alone, so that no content has to be read.

Belongs here: the one display name of each language. Does not belong here: telling names apart, which the identify
library does.
"""

from __future__ import annotations

import functools

from identify import identify

#: Display name of each language, by the tag of the identify library; what is not here has no language.
_LANGUAGES = {
    "asm": "Assembly", "astro": "Astro", "batch": "Batch", "bazel": "Starlark", "c": "C", "c#": "C#", "c++": "C++",
    "clojure": "Clojure", "cmake": "CMake", "crystal": "Crystal", "css": "CSS", "csv": "CSV", "cuda": "CUDA",
    "cython": "Cython", "dart": "Dart", "dockerfile": "Dockerfile", "elixir": "Elixir", "elm": "Elm",
    "erlang": "Erlang", "f#": "F#", "fish": "Fish", "fortran": "Fortran", "gdscript": "GDScript", "gleam": "Gleam",
    "go": "Go", "graphql": "GraphQL", "groovy": "Groovy", "haskell": "Haskell", "hcl": "HCL", "html": "HTML",
    "ini": "INI", "java": "Java", "javascript": "JavaScript", "jinja": "Jinja", "json": "JSON", "jsx": "JavaScript",
    "julia": "Julia", "jupyter": "Jupyter", "kotlin": "Kotlin", "less": "Less", "lua": "Lua", "luau": "Luau",
    "makefile": "Makefile", "markdown": "Markdown", "mdx": "Markdown", "metal": "Metal", "nim": "Nim", "nix": "Nix",
    "objective-c": "Objective-C", "objective-c++": "Objective-C++", "ocaml": "OCaml", "pascal": "Pascal",
    "perl": "Perl", "php": "PHP", "plist": "Property list", "powershell": "PowerShell", "proto": "Protocol Buffers",
    "purescript": "PureScript", "pyi": "Python", "python": "Python", "r": "R", "rst": "reStructuredText",
    "ruby": "Ruby", "rust": "Rust", "sass": "Sass", "scala": "Scala", "scheme": "Scheme", "scss": "SCSS",
    "shell": "Shell", "solidity": "Solidity", "sql": "SQL", "svelte": "Svelte", "swift": "Swift",
    "system-verilog": "SystemVerilog", "terraform": "Terraform", "tex": "TeX", "toml": "TOML", "ts": "TypeScript",
    "tsx": "TypeScript", "vb": "Visual Basic", "verilog": "Verilog", "vhdl": "VHDL", "vim": "Vim script",
    "vue": "Vue", "xml": "XML", "yaml": "YAML", "zig": "Zig",
}  # fmt: skip
#: Tags that say how a file is written rather than what it is; they name the language only when nothing else does.
_NOTATIONS = frozenset({"csv", "html", "ini", "json", "plist", "toml", "xml", "yaml"})


def language(path: str) -> str | None:
    """Return the display name of the language of ``path`` by its file name alone, or None."""
    return _language_of_name(path.rpartition("/")[2])


@functools.lru_cache(maxsize=8192)
def _language_of_name(name: str) -> str | None:
    tags = sorted(tag for tag in identify.tags_from_filename(name) if tag in _LANGUAGES)
    named = [tag for tag in tags if tag not in _NOTATIONS] or tags
    return _LANGUAGES[named[-1]] if named else None
