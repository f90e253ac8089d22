"""Whether Safari will cap the cookie that the gateway sets: what is looked at, what it means, and what to do.

    names ─▶ lookup, fetch ─▶ judge ─▶ Report
    (pure)   (DNS, HTTPS)     (pure)

Safari keeps a cookie of an HTTP answer as long as the answer says, unless the answering host looks like somebody else's
behind a name of the site. `cap` holds that rule as WebKit has it; nothing here guesses what a look did not show.
"""
