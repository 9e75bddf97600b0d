"""What NOTES.txt says. `helm template` leaves it out, so a copy of the chart has it in an object."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.helm.cases import Case
from tests.helm.tool import documents, template

_OBJECT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data: {notes: {{ include "notes" . | toJson }}}
"""


def of(case: Case, kube: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / case.chart.name
        shutil.copytree(case.chart, chart)
        text = (chart / "templates" / "NOTES.txt").read_text()
        (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + text + "{{ end }}")
        (chart / "templates" / "notes.yaml").write_text(_OBJECT)
        values = case.values.read_text()
        said = template(
            chart, "--show-only", "templates/notes.yaml", values=values, kube=kube, apis=case.apis
        )
    assert not said.status, said.err
    (found,) = documents(said.out)
    notes: str = found["data"]["notes"]
    return notes
