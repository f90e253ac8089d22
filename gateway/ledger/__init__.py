"""Who is who: the bindings of anonymous ids to customer ids, and the store that refuses to change one."""
