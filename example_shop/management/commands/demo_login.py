"""`python manage.py demo_login`: a login for the admin of a shop on this machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

NAME = "demo"


class Command(BaseCommand):
    """Create the user `demo` with the password `demo`. Safe to run twice."""

    help = "Create the user demo with the password demo; only where DEBUG is on."

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse in production mode; leave an existing user as it is."""
        if not settings.DEBUG:
            raise CommandError("A login that everybody knows is only made where DEBUG is on.")
        users = get_user_model()._default_manager
        if users.filter(username=NAME).exists():
            self.stdout.write(f"There is a user {NAME} already.")
            return
        users.create_superuser(username=NAME, password=NAME)
        self.stdout.write(f"User {NAME} with the password {NAME}.")
