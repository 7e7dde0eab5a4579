"""What tests with configured tenants share: a configuration file, and a WARP that has read it."""
import json

import yaml

FRESH = {"Cache-Control": "max-age=600"}


class Site:
    """A WARP whose configuration is a file that the test writes again."""

    def __init__(self, start_warp, path, config, args=(), **options):
        self.path = path
        self.write(config)
        self.warp = start_warp(args=("--config", str(path), *args), **options)

    def write(self, config):
        """A configuration as a dict, or as text."""
        self.path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))

    def reloads(self, result="success"):
        return self.warp.metric("warp_reloads_total", result=result)

    def reload(self, config=None, result="success"):
        """SIGHUP; waits for what comes of it."""
        import signal
        if config is not None:
            self.write(config)
        before = self.reloads(result)
        self.warp.signal(signal.SIGHUP)
        self.warp.wait_metric(before + 1, "warp_reloads_total", result=result)

    def get(self, url, headers=(), method="GET", **more):
        host, _, target = url.partition("/")
        with self.warp.client() as client:
            return client.get("/" + target, headers, method=method, host=host, **more)


def tenant(origin, *hosts, rules=(), **more):
    settings = {"hosts": list(hosts), "origins": [getattr(origin, "url", origin)], **{key.replace("_", "-"): value for key, value in more.items()}}
    if rules:
        settings["rules"] = list(rules)
    return settings


def told(seen):
    """What an origin saw of a request, as the body of its answer."""
    return json.dumps({"target": seen.target, "host": seen.headers.get("Host"), "fields": {name.lower(): value for name, value in seen.headers.list}}).encode()
