"""The page: ``gensr serve``, a program beside the command line that asks the one `Request` and drains the one `Plan`.

The server (`server`, `page`) never opens what a user sent: processes of their own do (`crew`, `worker`), one answer at
a time each, and tell what happened as lines of JSON.
"""
