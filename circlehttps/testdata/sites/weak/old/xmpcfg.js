var xmpcfg = {access: { accessToken: 'x', url: 'http://a.example/XMPieXMPL_REST_API' };
