"""Components and pipelines written in Python: the same specs as in YAML.

>>> @command_component
... def count(text: Annotated[Path, Input(type="uri_file")], lines: Annotated[Path, Output(type="uri_file")]):
...     lines.write_text(str(len(text.read_text().splitlines())))
>>> @pipeline
... def counting(text: Annotated[Path, Input(type="uri_file")]):
...     return {"lines": count(text=text).outputs.lines}
>>> print(counting.yaml())

ports.py        a function's parameters -> the inputs and outputs of a component
entry.py        where a step finds the function again: folder of its code, module and name
authored.py    what every component has: spec, YAML, and that a call of it is a step
components.py   the decorators of single steps, and components from YAML
pipelines.py    the decorator of pipelines: composed, run, deployed
"""

from batch_endpoints.client.authoring.components import command_component, load_component, parallel_component
from batch_endpoints.client.authoring.pipelines import pipeline
from batch_endpoints.client.authoring.ports import Input, Output

__all__ = ["Input", "Output", "command_component", "load_component", "parallel_component", "pipeline"]
