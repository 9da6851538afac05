"""What the server tells about people: the claims of OpenID Connect."""

from oauth2_provider.oauth2_validators import OAuth2Validator


def about(user):
    return {"name": user.username.capitalize(), "email": user.email}


class Validator(OAuth2Validator):
    def get_additional_claims(self, request):
        return about(request.user)
