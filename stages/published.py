"""A model that others published, taken as it is: the entry of its name in the section `published`.

Writes the model MODEL and RECORD, where it is from.
With NAME among evaluate.models, `dvc repro evaluate@NAME-BENCHMARK` evaluates it and trains nothing.
"""

from stages._run import Out, run
from stages._settings import params
from vr.settings.params import Published
from vr.sources import models


def main(model: Out, record: Out) -> None:
    p = params(Published, model.name)
    commit = models.fetch(p.source, p.revision, model, f"{Published.section}.{model.name}")
    models.record(p.source, commit, record)


if __name__ == "__main__":
    run(main)
