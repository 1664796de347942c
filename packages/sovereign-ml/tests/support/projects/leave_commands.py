"""Commands of `churn leave` one after the other in one process, which prints their exit codes at the end."""

from __future__ import annotations

ONE_PROCESS = """
import json, os, sys
from sovereign_ml.cli.main import application
from sovereign_ml.egress import allow_list
from sovereign_ml.errors import Misuse, Refused
allow_list.install(os.environ, ["leave"])
app, codes = application(), []
for words in json.loads(sys.argv[1]):
    try:
        app(["leave", *words])
    except SystemExit as end:
        codes.append(end.code)
    except (Misuse, Refused) as error:
        print(error, file=sys.stderr)
        codes.append(error.exit_code)
print("codes", *codes)
"""
