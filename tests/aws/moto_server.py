"""moto's server, whose change sets know the exports of other stacks and make their own, and which keeps what is to be kept
except on create. Its own only do for stacks that are created without a change set, and it knows one way of keeping."""
import sys

from moto.cloudformation import models, parsing
from moto.server import main

apply = models.ChangeSet.apply


def apply_with_exports(self):
    stack = self.stack
    backend = models.cloudformation_backends[stack.account_id][stack.region_name]
    stack.resource_map.cross_stack_resources = backend.exports
    apply(self)
    stack.template = self.template
    stack._parse_template()
    stack.output_map = stack._create_output_map()
    for export in stack.exports:
        backend.exports[export.name] = export


delete = parsing.ResourceMap.delete


def delete_but_keep(self):
    for resource in self._resource_json_map.values():
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"
    delete(self)


models.ChangeSet.apply = apply_with_exports
parsing.ResourceMap.delete = delete_but_keep
main(sys.argv[1:])
