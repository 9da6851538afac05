"""Django OAuth Toolkit on one loopback port, for tests.

It is a Django project in one file, with the toolkit's own views, models and pages. What is ours is how a
person signs in (any name is an account), an API that tells whose token it got, and the routes below /test/.
"""

import os
import socketserver
import threading
from wsgiref import simple_server

import django
from django.conf import settings
from jwcrypto import jwk

port = int(os.environ["PORT"])
origin = f"http://127.0.0.1:{port}"

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.abspath("django.db"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "oauth2_provider",
    ],
    LOGIN_URL="/sign-in",
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",  # redirects where a slash is missing, as most projects do
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # Tables are made from the models: running through all migrations takes much longer.
    MIGRATION_MODULES={name: None for name in ["auth", "contenttypes", "sessions", "oauth2_provider"]},
    OAUTH2_PROVIDER={
        "OAUTH2_VALIDATOR_CLASS": "people.Validator",
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": f"{origin}/o",
        "OIDC_RSA_PRIVATE_KEY": jwk.JWK.generate(kty="RSA", size=2048).export_to_pem(True, None).decode(),
        "PKCE_REQUIRED": True,
        "SCOPES": {"openid": "Who you are", "profile": "Your name", "email": "Your address"},
    },
    ROOT_URLCONF="routes",
    SECRET_KEY=os.urandom(32).hex(),
    STATIC_URL="/static/",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each connection: clients keep some open on which they send nothing."""

    daemon_threads = True
    request_queue_size = 64


def one_at_a_time(application):
    """SQLite refuses a transaction that begins to write while another one does."""
    lock = threading.Lock()

    def answer(environ, start_response):
        with lock:
            return list(application(environ, start_response))

    return answer


def register(client_id, secret):
    Application.objects.create(
        client_id=client_id,
        client_secret=secret,
        client_type=Application.CLIENT_CONFIDENTIAL if secret else Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        algorithm=Application.RS256_ALGORITHM,
        redirect_uris=os.environ["REDIRECT_URI"],
    )


call_command("migrate", run_syncdb=True, verbosity=0)
register(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
register(os.environ["PUBLIC_CLIENT_ID"], "")
simple_server.make_server("127.0.0.1", port, one_at_a_time(get_wsgi_application()), server_class=Server).serve_forever()
