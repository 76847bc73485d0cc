// A provider of OpenID Connect: oidc-provider with its own pages for development, which take any
// password.
//
// usage: provider.js PORT PAGES, with the client's secret in CLIENT_SECRET
//
// It writes `ready` when it listens, and ends with its input.

import Provider from 'oidc-provider';

const [port, pages] = process.argv.slice(2);
const groups = { dana: ['staff', 'sre'], kim: ['staff'] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'throughline',
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: [`${pages}/login/callback`],
      post_logout_redirect_uris: [`${pages}/login`],
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'groups'],
  cookies: { keys: ['of the tests'] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] }),
  }),
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
process.stdin.resume().on('end', () => process.exit());
