"""Which peer may do what: the question that a policy answers, and rules that answer it.

    rules = Rules(
        [
            Allow("@operators", message=True, call="calculator.*"),
            Deny("bob", call="calculator.reset"),
        ],
        groups={"operators": ["alice", "bob"]},
    )
    messaging = Messaging("server", "", packeter, policy=rules)

:meth:`Rules.from_toml` reads them from a file.
"""

from snakemq._public_home import report_public_home

from ._policy import Action, GroupPolicy, Policy
from ._rule import Allow, Deny, RulesError
from ._rules import Rules

__all__ = ["Action", "Allow", "Deny", "GroupPolicy", "Policy", "Rules", "RulesError"]

report_public_home(__name__)
