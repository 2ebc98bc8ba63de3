"""Messages of `train.py` for invalid commands."""

import pytest
from command import start

pytestmark = pytest.mark.heavy

TOLD = {
    # An unknown field, an unknown section: the near matches are named.
    "--config.optim.learningrate=1": ["learning_rate"],
    "--config.optm.schedule=cosine": ["optim"],
    "--config=configs/full.py --config.optim.warmup_step=3": ["warmup_steps"],
    # An earlier name.
    "--config.model.adapter_kind=light": [
        "model.adapter_kind: expected its new name model.peft.kind",
        "light is now conv_bottleneck",
    ],
    # A wrong type, a wrong value.
    "--config.optim.learning_rate=fast": ["optim.learning_rate: expected a number, found 'fast'"],
    "--config.optim.schedule=linear": ["optim.schedule: expected one of", "cosine", "'linear'"],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Output and exit status of all commands, which run side by side."""
    folder = tmp_path_factory.mktemp("commands")
    flags = ["--workdir", str(folder / "run")]
    processes = {f: start("train.py", *flags, *f.split(), cache=folder / "cache") for f in TOLD}
    found = {f: (process.communicate(timeout=300)[0], process) for f, process in processes.items()}
    assert not (folder / "run").exists()
    return {flag: (output, process.returncode) for flag, (output, process) in found.items()}


@pytest.mark.parametrize("flag", TOLD)
def test_a_command_that_cannot_work_is_explained(answers, flag):
    output, status = answers[flag]
    assert status != 0
    assert "Traceback" not in output
    for part in TOLD[flag]:
        assert part in output, output
