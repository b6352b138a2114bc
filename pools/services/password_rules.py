"""Rules for passwords whose sentences can be said in every language of the console; the rules are Django's."""

from django.contrib.auth.password_validation import MinimumLengthValidator, UserAttributeSimilarityValidator
from django.utils.translation import gettext as _


class LongEnough(MinimumLengthValidator):
    """Refuses what has fewer than ``min_length`` characters."""

    def get_error_message(self) -> str:
        return _("At least %(count)s characters are needed.") % {"count": self.min_length}


class UnlikeItsOwner(UserAttributeSimilarityValidator):
    """Refuses what is much like the name or e-mail address of the user."""

    def get_error_message(self) -> str:
        return _("This is too similar to your name or e-mail address.")
