"""`python manage.py demo_login`: create an admin user for a shop on this machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

NAME = "demo"


class Command(BaseCommand):
    """An existing user is left as it is."""

    help = "Create the user demo with the password demo; only if DEBUG is on."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The password of this user is well known, so DEBUG must be True.")
        users = get_user_model().objects
        if users.filter(username=NAME).exists():
            self.stdout.write(f"The user {NAME} already exists.")
            return
        users.create_superuser(username=NAME, password=NAME)
        self.stdout.write(f"Created the user {NAME} with the password {NAME}.")
