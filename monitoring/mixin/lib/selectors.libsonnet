// Vector selectors out of matchers, some of which may be empty.
{
  // Joins matchers and leaves out empty ones: `{, a="b"}` is no PromQL.
  join(matchers):: std.join(', ', [
    matcher
    for matcher in matchers
    if std.length(std.stripChars(matcher, ' ,')) > 0
  ]),

  // A metric with its matchers; without braces where there are none.
  of(name, matchers=[])::
    local inside = self.join(matchers);
    if inside == '' then name else '%s{%s}' % [name, inside],

  // A matcher that takes any, or none, of a list of regular expressions.
  any(label, patterns):: '%s=~"%s"' % [label, self._alternatives(patterns)],
  none(label, patterns):: '%s!~"%s"' % [label, self._alternatives(patterns)],

  // In a PromQL string a backslash would need another one: patterns have none.
  _alternatives(patterns)::
    local joined = std.join('|', patterns);
    assert !std.member(joined, '\\') : 'write [.] instead of a backslash: ' + joined;
    joined,
}
