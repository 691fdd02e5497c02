// Keys and tokens: what is in force is not what its source says.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  [
    alerts.new(
      'TabserveKeysStale',
      'ticket',
      'fast',
      'max by (%s) (%s) > 0' % [s.replica, s.service('tabserve_access_keys_stale')],
      'The keys file of {{ $labels.job }} cannot be used.',
      'Replica {{ $labels.%s }} of %scannot use its keys file as it is now. The keys before stay in force: a key that was revoked since still opens it.' % [config.instanceLabel, alerts.place],
      'health',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveKeyExpires',
      'ticket',
      'slow',
      '(max by (%s) (%s) > 0) - time() < %d * 86400' % [s.group, s.service('tabserve_access_expiry_timestamp_seconds'), config.keyExpiryDays],
      'A client of {{ $labels.job }} has no key soon.',
      'The last key of a client of %sexpires in {{ $value | humanizeDuration }}. From then on it gets 401.' % alerts.place,
      'health',
    ),
    alerts.new(
      'TabserveIssuerDown',
      'ticket',
      'fast',
      'max by (%s) (%s) > 0' % [s.replica, s.service('tabserve_access_issuer_down')],
      'The issuer of tokens for {{ $labels.job }} cannot be asked.',
      'Replica {{ $labels.%s }} of %scannot fetch the keys of its issuer. Those it has are used for a day; without any, tokens get 503.' % [config.instanceLabel, alerts.place],
      'health',
      vars=['job', config.instanceLabel],
    ),
  ]
